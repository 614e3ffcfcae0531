package httpapi

import "strconv"

// fault is one error in a request: in a field of the body, a query parameter, or a header. Exactly one of the first three
// fields is set.
type fault struct {
	Pointer   *string `json:"pointer,omitempty"`
	Parameter string  `json:"parameter,omitempty"`
	Header    string  `json:"header,omitempty"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
}

// faults collects the faults of one request.
type faults struct {
	list       []fault
	itemFaults int // faults of the message that is being read
}

// maxFaults bounds the faults in one answer. Beyond it, only the first fault of each message of a batch is added.
const maxFaults = 1000

// nextItem starts the next message of a batch.
func (f *faults) nextItem() { f.itemFaults = 0 }

// add adds a fault of a field.
func (f *faults) add(at jsonPath, k kind, detail string) {
	f.itemFaults++
	if f.itemFaults > 1 && len(f.list) >= maxFaults {
		return
	}
	pointer := at.pointer()
	f.list = append(f.list, fault{Pointer: &pointer, Code: k.code, Detail: detail})
}

// addParameter adds a fault of a query parameter.
func (f *faults) addParameter(name string, k kind, detail string) {
	f.list = append(f.list, fault{Parameter: name, Code: k.code, Detail: detail})
}

// problem returns a problem that lists all faults, or nil if there are none.
func (f *faults) problem() error {
	if len(f.list) == 0 {
		return nil
	}
	k := f.kind()
	detail := "1 fault"
	if n := len(f.list); n > 1 {
		detail = strconv.Itoa(n) + " faults"
	}
	p := k.problem(detail)
	p.Errors = f.list
	return p
}

// kind returns the kind that all faults share, or validationFailed if they differ.
func (f *faults) kind() kind {
	for _, k := range []kind{invalidCharacter, notSupported} {
		same := true
		for _, one := range f.list {
			same = same && one.Code == k.code
		}
		if same {
			return k
		}
	}
	return validationFailed
}
