package signalr

import "slices"

// Conns returns the open connections of this server.
func (s *Server) Conns() []*Conn {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.registry.all), func(c *Conn) bool { return !c.place.shown })
}

// UserConns returns the open connections of a user to this server.
func (s *Server) UserConns(userID string) (conns []*Conn) {
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	for c := s.registry.users[userID]; c != nil; c = c.place.next {
		conns = append(conns, c)
	}
	return conns
}
