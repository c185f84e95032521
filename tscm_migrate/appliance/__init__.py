"""The TSCM in its own words: what one appliance is, has and can be told to do."""
