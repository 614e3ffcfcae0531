package signalr

import (
	"context"
	"slices"
)

// TargetKind says what the names of a [Target] are.
type TargetKind int

// Kinds of targets.
const (
	ToAll     TargetKind = iota // everybody
	ToClients                   // connections, by their ids
	ToGroups
	ToUsers
)

// Target is a set of clients that messages can be sent to, and that can be asked who is in it. It is looked up anew at
// each use. Names that nobody has are no error: nothing is sent then. They are compared letter by letter.
//
// With Options.Backplane sends also reach the clients of other nodes; Conns, UserIDs and Len know of this server's only.
type Target struct {
	Kind   TargetKind
	Names  []string
	Except []string // ids of connections that are left out

	server *Server
}

// All are all clients.
func (s *Server) All() Target { return Target{server: s} }

// AllExcept are all clients but the connections with these ids.
func (s *Server) AllExcept(ids ...string) Target { return Target{Except: ids, server: s} }

// Client is the connection with an id. It can also be asked for a result; see [Invoke].
func (s *Server) Client(id string) Target { return s.Clients(id) }

// Clients are the connections with these ids.
func (s *Server) Clients(ids ...string) Target { return Target{Kind: ToClients, Names: ids, server: s} }

// Group are the members of a group; see [Conn.Join].
func (s *Server) Group(name string) Target { return s.Groups(name) }

// Groups are the members of several groups. Who is in more than one of them still gets a message once.
func (s *Server) Groups(names ...string) Target {
	return Target{Kind: ToGroups, Names: names, server: s}
}

// GroupExcept are the members of a group but the connections with these ids.
func (s *Server) GroupExcept(name string, ids ...string) Target {
	return Target{Kind: ToGroups, Names: []string{name}, Except: ids, server: s}
}

// User are the connections of a user: a phone, a tablet, three tabs.
func (s *Server) User(id string) Target { return s.Users(id) }

// Users are the connections of several users.
func (s *Server) Users(ids ...string) Target { return Target{Kind: ToUsers, Names: ids, server: s} }

// Others are all clients but the one that calls.
func (c *Call) Others() Target { return c.conn.server.AllExcept(c.conn.id) }

// OthersInGroup are the members of a group but the one that calls.
func (c *Call) OthersInGroup(name string) Target { return c.conn.server.GroupExcept(name, c.conn.id) }

// Server returns the server of the call's connection, which has the targets to send to.
func (c *Call) Server() *Server { return c.conn.server }

// Conns returns the connections that are there now, each once, in no order.
func (t Target) Conns() []*Conn { return t.appendConns(nil) }

// Len returns how many connections are there now.
func (t Target) Len() int {
	l := lists.Get().(*list) //nolint:forcetypeassert // the pool holds nothing else
	defer l.free()
	l.conns = t.appendConns(l.conns)
	return len(l.conns)
}

// UserIDs returns the users who are there now by at least one connection, in the order of their ids.
func (t Target) UserIDs() []string {
	l := lists.Get().(*list) //nolint:forcetypeassert // the pool holds nothing else
	defer l.free()
	l.conns = t.appendConns(l.conns)
	ids := make([]string, 0, len(l.conns))
	for _, c := range l.conns {
		if c.who.UserID != "" {
			ids = append(ids, c.who.UserID)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

func (t Target) appendConns(dst []*Conn) []*Conn {
	switch t.Kind {
	case ToAll:
		dst = t.server.registry.appendShown(dst)
	case ToClients:
		dst = t.server.registry.appendIDs(dst, t.Names)
	case ToGroups:
		for _, name := range t.Names {
			dst = t.server.groups.appendMembers(dst, name)
		}
	case ToUsers:
		for _, id := range t.Names {
			dst = t.server.registry.appendUser(dst, id)
		}
	}
	if len(t.Names) > 1 {
		dst = unique(dst)
	}
	if len(t.Except) > 0 {
		dst = slices.DeleteFunc(dst, t.excepts)
	}
	return dst
}

func (t Target) excepts(c *Conn) bool { return slices.Contains(t.Except, c.id) }

func unique(conns []*Conn) []*Conn {
	seen := make(map[*Conn]struct{}, len(conns))
	return slices.DeleteFunc(conns, func(c *Conn) bool {
		_, again := seen[c]
		seen[c] = struct{}{}
		return again
	})
}

// Send sends an invocation to every client of the target, encoded once per protocol. Who has room gets it at once; then
// it waits for the slow ones, until ctx ends. A [*SendError] names those who did not get it. Whoever has disconnected is
// not counted.
func (t Target) Send(ctx context.Context, method string, args ...any) error {
	return t.send(ctx, true, &multicast{invoke: true, method: method, args: args})
}

// TrySend is Send that leaves out who has no room; a [*SendError] names them.
func (t Target) TrySend(method string, args ...any) error {
	return t.send(context.Background(), false, &multicast{invoke: true, method: method, args: args})
}

// Write is Send for what is encoded already. The frames leave together.
func (t Target) Write(ctx context.Context, frames ...Frame) error {
	return t.send(ctx, true, &multicast{frames: frames})
}

// TryWrite is TrySend for what is encoded already.
func (t Target) TryWrite(frames ...Frame) error {
	return t.send(context.Background(), false, &multicast{frames: frames})
}
