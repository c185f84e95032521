"""What runs on a simulated appliance; copied there, standard library only, imports nothing of the tool."""
