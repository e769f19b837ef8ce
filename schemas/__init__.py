"""What the data is: record, features, verdict and ledger row, recipe, manifest. No Beam, no torch."""
