// Runs aimock with two services that its command line cannot switch on: moderation and rerank.
//
//     node aimock.mjs <aimock's dist/index.js> <file of fixtures>

const { LLMock } = await import(process.argv[2]);

const mock = new LLMock({ port: 0, strict: true });
mock.loadFixtureFile(process.argv[3]);
mock.onModerate("hurt", { flagged: true, categories: { violence: true } });
mock.onModerate("weather", { flagged: false, categories: { violence: false } });
mock.onRerank("capital", [
  { index: 2, relevance_score: 0.98 },
  { index: 0, relevance_score: 0.25 },
  { index: 1, relevance_score: -0.5 },
]);
await mock.start();
console.log(`listening on ${mock.url}`);
