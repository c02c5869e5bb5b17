"""How work gets done: tasks on local processes or a cluster, each once; launching and joining several processes."""
