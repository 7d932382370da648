"""Information about clients: address, device, location. For display, never proof of identity."""
