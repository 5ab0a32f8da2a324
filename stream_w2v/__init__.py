"""Streaming word2vec."""
