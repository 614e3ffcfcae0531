package cache

// matchPattern reports whether name matches the pattern: * matches any text, ? one character, any other character itself. It
// backtracks to the last * only, so it takes at most len(pattern) × len(name) steps.
func matchPattern(pattern, name string) bool {
	p := []rune(pattern)
	star := -1
	back := 0
	n := []rune(name)
	i, j := 0, 0
	for j < len(n) {
		switch {
		case i < len(p) && p[i] == '*':
			star, back = i, j
			i++
		case i < len(p) && (p[i] == '?' || p[i] == n[j]):
			i++
			j++
		case star >= 0:
			back++
			i, j = star+1, back
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}
