"""What an operator can see of a server at work: metrics, and traces if there is somebody who collects them."""
