"""Messages to a user's other devices: alerts, login approvals, and undoing changes made by someone else."""
