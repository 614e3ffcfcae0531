package connlimit

// Bounds of the reserve, in descriptors.
const (
	leastReserve = 64
	mostReserve  = 1536
)

// Budget divides the file descriptors of a process.
type Budget struct {
	Files       int // descriptors of the process; zero if unknown
	Reserve     int // for store, spill, database, Redis and log
	Connections int // the rest; zero if unknown
}

// NodeBudget divides the descriptors of a node: an eighth, 64 to 1,536, is reserved.
func NodeBudget(files int) Budget {
	return newBudget(files, min(max(files/8, leastReserve), mostReserve))
}

// GatewayBudget divides the descriptors of a gateway: half is reserved, because a call needs one connection in and one out.
func GatewayBudget(files int) Budget { return newBudget(files, max(files/2, leastReserve)) }

func newBudget(files, reserve int) Budget {
	if files <= 0 {
		return Budget{}
	}
	return Budget{Files: files, Reserve: reserve, Connections: max(files-reserve, 0)}
}

// StoreFiles returns how many table files the databases on this node's disk may hold open together; zero if unknown.
func (b Budget) StoreFiles() int { return b.Reserve * 5 / 8 }
