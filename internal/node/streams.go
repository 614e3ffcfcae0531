package node

import "io"

// Streams are the outputs of a command: results and progress to Out, logs to Err.
type Streams struct{ Out, Err io.Writer }

// DefaultURL is the URL of a node that was started without --listen.
const DefaultURL = "http://127.0.0.1:8080"
