"""MongoDB stores, one file per collection. The only package that imports the MongoDB driver."""
