package signalr

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// ErrGroupName is returned if the name of a group is empty.
var ErrGroupName = errors.New("signalr: group without a name")

// groups holds the named groups of one server's connections. A group exists while it has members. Each connection stores
// its own groups, so that the cost of its end depends on the groups it joined, not on all groups of the server.
type groups struct {
	mu     sync.Mutex
	byName map[string]*group
}

type group struct {
	name    string
	members []*Conn
}

// membership holds the groups of one connection. It is guarded by groups.mu.
type membership struct {
	joined map[*group]int // index of the connection in group.members
	left   []string       // names of the groups at the end of the connection
	ended  bool
}

func newGroups() *groups { return &groups{byName: make(map[string]*group)} }

// Join adds the connection to a group. Sends to the group after Join has returned reach the connection. It is not an error
// if the connection is already a member. Join returns [ErrClosed] if the connection has ended.
func (c *Conn) Join(name string) error {
	if name == "" {
		return ErrGroupName
	}
	if !c.server.groups.join(c, name) {
		return ErrClosed
	}
	return nil
}

// Leave removes the connection from a group. It is not an error if the connection is not a member.
func (c *Conn) Leave(name string) error {
	if name == "" {
		return ErrGroupName
	}
	c.server.groups.leave(c, name)
	return nil
}

// Groups returns the sorted names of the connection's groups; after the connection has ended, those at its end.
func (c *Conn) Groups() []string {
	x := c.server.groups
	x.mu.Lock()
	defer x.mu.Unlock()
	m := &c.existing().member
	if m.ended {
		return slices.Clone(m.left)
	}
	return m.namesLocked()
}

func (m *membership) namesLocked() []string {
	names := make([]string, 0, len(m.joined))
	for g := range m.joined {
		names = append(names, g.name)
	}
	slices.Sort(names)
	return names
}

func (x *groups) join(c *Conn, name string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := &c.extras().member
	if m.ended {
		return false
	}
	g := x.byName[name]
	if g == nil {
		g = &group{name: name}
		x.byName[name] = g
	}
	if _, there := m.joined[g]; there {
		return true
	}
	if m.joined == nil {
		m.joined = make(map[*group]int)
	}
	m.joined[g] = len(g.members)
	g.members = append(g.members, c)
	return true
}

func (x *groups) leave(c *Conn, name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	g := x.byName[name]
	if _, there := c.existing().member.joined[g]; there {
		x.removeLocked(c, g)
	}
}

// removeLocked removes c from g. The last member moves to its index.
func (x *groups) removeLocked(c *Conn, g *group) {
	m := &c.extras().member
	at, last := m.joined[g], len(g.members)-1
	moved := g.members[last]
	g.members[at] = moved
	moved.extras().member.joined[g] = at
	g.members[last] = nil
	g.members = g.members[:last]
	delete(m.joined, g)
	if last == 0 {
		delete(x.byName, g.name)
	}
}

// end removes a connection from all its groups. It cannot join a group afterwards.
func (x *groups) end(c *Conn, e *extras) {
	x.mu.Lock()
	defer x.mu.Unlock()
	m := &e.member
	m.ended = true
	if len(m.joined) == 0 {
		return
	}
	m.left = m.namesLocked()
	for g := range m.joined {
		x.removeLocked(c, g)
	}
	m.joined = nil
}

func (x *groups) appendMembers(dst []*Conn, name string) []*Conn {
	x.mu.Lock()
	defer x.mu.Unlock()
	if g := x.byName[name]; g != nil {
		dst = append(dst, g.members...)
	}
	return dst
}

// GroupNames returns the sorted names of the groups with members on this server.
func (s *Server) GroupNames() []string {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return slices.Sorted(maps.Keys(s.groups.byName))
}
