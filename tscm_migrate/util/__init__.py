"""Small helpers without knowledge of appliances."""
