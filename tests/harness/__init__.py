"""Labs of simulated appliances, test servers, faults, and the programs that combine them: chaos, matrix, mutate."""
