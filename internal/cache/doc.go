// Package cache keeps copies of what is dear to ask for, on two levels: in this process, and one that all nodes share.
package cache
