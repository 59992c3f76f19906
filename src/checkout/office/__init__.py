"""The staff wing. Private: names here change without notice; hosts include `checkout.urls` and nothing else."""
