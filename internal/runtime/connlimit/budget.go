package connlimit

// Bounds of the reserve, in descriptors.
const (
	minReserve = 64
	maxReserve = 1536
)

// Budget is the division of the file descriptors of a process.
type Budget struct {
	Files       int // descriptors of the process; zero if unknown
	Reserve     int // for store, spill, database, Redis and log
	Connections int // for connections; zero if unknown
}

// NodeBudget returns the budget of a node. An eighth of the descriptors, 64 to 1,536, is reserved.
func NodeBudget(files int) Budget {
	return newBudget(files, min(max(files/8, minReserve), maxReserve))
}

// GatewayBudget returns the budget of a gateway. Half of the descriptors is reserved, because each request needs an incoming
// and an outgoing connection.
func GatewayBudget(files int) Budget { return newBudget(files, max(files/2, minReserve)) }

func newBudget(files, reserve int) Budget {
	if files <= 0 {
		return Budget{}
	}
	return Budget{Files: files, Reserve: reserve, Connections: max(files-reserve, 0)}
}

// StoreFiles returns the number of table files that the databases on this node's disk may hold open in total; zero if unknown.
func (b Budget) StoreFiles() int { return b.Reserve * 5 / 8 }
