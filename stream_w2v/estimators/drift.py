class WordDrift: pass
