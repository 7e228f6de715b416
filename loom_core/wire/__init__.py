"""Wire formats that more than one plugin speaks: pure translation between plain data and the contract's records."""
