"""What Drivebay costs, each figure beside one that it can be held against, measured in the same run."""
