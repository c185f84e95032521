"""Programs that run on a simulated appliance; copied there; standard library only, no imports from the tool."""
