"""OpenHand, the default data: the embedded hand, posed and pictured on the spot."""
