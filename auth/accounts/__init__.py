"""Operations on a user's own account: registration, password, address, profile, data export, deletion."""
