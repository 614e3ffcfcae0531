package httpapi

// What tests of the document need to see from inside.

// Routes gives the methods of every path.
func Routes() map[string][]string {
	all := map[string][]string{}
	for _, r := range new(API).routes() {
		for method := range r.methods {
			all[r.path] = append(all[r.path], method)
		}
	}
	return all
}

// Codes gives the codes of all problems, with their statuses.
func Codes() map[string]int {
	codes := map[string]int{}
	for _, k := range all() {
		codes[k.code] = k.status
	}
	return codes
}
