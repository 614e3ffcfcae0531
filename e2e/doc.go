// Package e2e holds black-box tests: real nodes as child processes, Microsoft's SignalR client on Node.js, a real
// browser, and kill -9. It does not import the packages under test.
package e2e
