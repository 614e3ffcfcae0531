// Package buildinfo returns the version of the product and the commit and Go version that the binary was built from.
package buildinfo
