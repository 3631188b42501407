"""Job and read-model tables, and the queues' topology, shared by recommender and worker."""
