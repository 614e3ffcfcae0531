// Package e2e holds black-box tests: a real node as a process of its own, Microsoft's SignalR client under Node, a real
// browser, real kill -9. It imports nothing of what it tests.
package e2e
