"""InterHand2.6M (Moon et al. 2020)."""
