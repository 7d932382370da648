"""Mail and SMS to users: wording, queue and senders. Independent of the features, which call it once per event."""
