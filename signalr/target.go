package signalr

import (
	"context"
	"slices"
)

// TargetKind is the kind of the names of a [Target].
type TargetKind int

// Kinds of targets.
const (
	ToAll     TargetKind = iota // all clients
	ToClients                   // connections, by their ids
	ToGroups
	ToUsers
)

// Target is a set of clients. Messages can be sent to it, and its connections and users can be listed. Its names are
// resolved at each use and compared exactly. A name that matches no client is not an error: nothing is sent for it.
//
// With Options.Backplane, sends also reach the clients of other nodes. Conns, UserIDs and Len see only the clients of this
// server.
type Target struct {
	Kind   TargetKind
	Names  []string
	Except []string // ids of connections that are left out

	server *Server
}

// All returns the target of all clients.
func (s *Server) All() Target { return Target{server: s} }

// AllExcept returns the target of all clients except the connections with these ids.
func (s *Server) AllExcept(ids ...string) Target { return Target{Except: ids, server: s} }

// Client returns the target of the connection with this id. It can also be called for a result; see [Invoke].
func (s *Server) Client(id string) Target { return s.Clients(id) }

// Clients returns the target of the connections with these ids.
func (s *Server) Clients(ids ...string) Target { return Target{Kind: ToClients, Names: ids, server: s} }

// Group returns the target of the members of a group; see [Conn.Join].
func (s *Server) Group(name string) Target { return s.Groups(name) }

// Groups returns the target of the members of several groups. A member of more than one of them gets a message once.
func (s *Server) Groups(names ...string) Target {
	return Target{Kind: ToGroups, Names: names, server: s}
}

// GroupExcept returns the target of the members of a group except the connections with these ids.
func (s *Server) GroupExcept(name string, ids ...string) Target {
	return Target{Kind: ToGroups, Names: []string{name}, Except: ids, server: s}
}

// User returns the target of all connections of a user: a phone, a tablet, three tabs.
func (s *Server) User(id string) Target { return s.Users(id) }

// Users returns the target of all connections of several users.
func (s *Server) Users(ids ...string) Target { return Target{Kind: ToUsers, Names: ids, server: s} }

// Others returns the target of all clients except the caller.
func (c *Call) Others() Target { return c.conn.server.AllExcept(c.conn.id) }

// OthersInGroup returns the target of the members of a group except the caller.
func (c *Call) OthersInGroup(name string) Target { return c.conn.server.GroupExcept(name, c.conn.id) }

// Server returns the server of the call's connection. Its methods return the targets to send to.
func (c *Call) Server() *Server { return c.conn.server }

// Conns returns the connections that are open now, each once, in unspecified order.
func (t Target) Conns() []*Conn { return t.appendConns(nil) }

// Len returns the number of connections that are open now.
func (t Target) Len() int {
	l := lists.Get().(*list) //nolint:forcetypeassert // the pool holds nothing else
	defer l.free()
	l.conns = t.appendConns(l.conns)
	return len(l.conns)
}

// UserIDs returns the ids of the users with at least one open connection, sorted and without duplicates.
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

// Send sends an invocation to every client of the target, encoded once per protocol. It queues the invocation at once for
// the clients whose outbox has room, then waits for the slow ones until ctx ends. A [*SendError] lists the connections that
// did not get it; connections that have closed are not listed.
func (t Target) Send(ctx context.Context, method string, args ...any) error {
	return t.send(ctx, true, &multicast{invoke: true, method: method, args: args})
}

// TrySend is like Send but does not wait: it skips the clients whose outbox is full. A [*SendError] lists them.
func (t Target) TrySend(method string, args ...any) error {
	return t.send(context.Background(), false, &multicast{invoke: true, method: method, args: args})
}

// Write is like Send but takes encoded frames. The frames go out together.
func (t Target) Write(ctx context.Context, frames ...Frame) error {
	return t.send(ctx, true, &multicast{frames: frames})
}

// TryWrite is like TrySend but takes encoded frames.
func (t Target) TryWrite(frames ...Frame) error {
	return t.send(context.Background(), false, &multicast{frames: frames})
}
