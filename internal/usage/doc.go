// Package usage contains the errors of mistaken flags and configuration, and names this program in advice. It prints nothing: the
// command line decides about output and exit codes.
package usage
