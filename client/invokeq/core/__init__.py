"""What a client does, written once: plans of round trips that the two thin shells carry out."""
