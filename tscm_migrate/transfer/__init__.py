"""How archives travel between appliances and this workstation; never under a final name before they are whole."""
