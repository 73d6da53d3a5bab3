"""What the claims are asked of: the protocol, the registry, the contract check and recorded subjects."""
