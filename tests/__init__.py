"""The tests of invokeq; the folders differ in what they need: nothing, contracts, real servers."""
