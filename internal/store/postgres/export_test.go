package postgres

// FunctionArguments returns the names of the arguments that the store passes to functions of the database, by function.
func FunctionArguments() map[string][]string {
	names := func(args []argument) (names []string) {
		for _, a := range args {
			names = append(names, a.name)
		}
		return names
	}
	return map[string][]string{
		"append_calls":    names(appendArguments(nil, nil, 0)),
		"settle_messages": names(settleArguments(nil, &settleAttempt{}, 0)),
	}
}
