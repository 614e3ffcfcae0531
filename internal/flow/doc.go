// Package flow holds the pure arithmetic of pacing: how long to wait before trying again, how loaded a node is, what a quota
// lets through, how many calls a node works on at once. It knows no clock and no randomness of its own: both are passed in,
// so that every decision can be played again.
//
// Concurrency: functions are pure; what has a state is one owner's.
package flow
