package signalr

import (
	"errors"
	"maps"
	"slices"
	"sync"
)

// ErrGroupName says that a group's name is empty.
var ErrGroupName = errors.New("signalr: group without a name")

// groups are the named sets of one server's connections. A group exists while somebody is in it. Each connection knows
// its groups, so that its end costs what it has joined and not what the server holds.
type groups struct {
	mu     sync.Mutex
	byName map[string]*group
}

type group struct {
	name    string
	members []*Conn
}

// membership is what one connection has joined. The lock of groups guards it.
type membership struct {
	joined map[*group]int // its place among the members
	left   []string       // the groups of a connection that has ended
	ended  bool
}

func newGroups() *groups { return &groups{byName: make(map[string]*group)} }

// Join puts the connection into a group, whose next send reaches it. To be in it already is no error. A connection that
// has ended is in no group: it answers [ErrClosed].
func (c *Conn) Join(name string) error {
	if name == "" {
		return ErrGroupName
	}
	if !c.server.groups.join(c, name) {
		return ErrClosed
	}
	return nil
}

// Leave takes the connection out of a group. Not to be in it is no error.
func (c *Conn) Leave(name string) error {
	if name == "" {
		return ErrGroupName
	}
	c.server.groups.leave(c, name)
	return nil
}

// Groups returns the groups the connection is in, in the order of their names; after its end those it was in then.
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

// removeLocked puts the last member in the place of the one who leaves.
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

// end takes a connection out of all its groups, for good.
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

// GroupNames returns the groups that somebody on this server is in, in the order of their names.
func (s *Server) GroupNames() []string {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	return slices.Sorted(maps.Keys(s.groups.byName))
}
