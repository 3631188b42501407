"""The queues, for those who run the deployment."""
