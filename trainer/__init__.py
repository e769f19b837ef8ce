"""What uses a release: plan, stream, render, loss, train, evaluate. No Beam."""
