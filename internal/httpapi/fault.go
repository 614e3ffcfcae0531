package httpapi

import "strconv"

// fault is one thing wrong with a request: with a field of the body, a query parameter, or a header.
type fault struct {
	Pointer   *string `json:"pointer,omitempty"`
	Parameter string  `json:"parameter,omitempty"`
	Header    string  `json:"header,omitempty"`
	Code      string  `json:"code"`
	Detail    string  `json:"detail"`
}

// faults gathers what is wrong with a request.
type faults struct {
	list   []fault
	inItem int // of the message that is being read
}

// maxFaults bounds the answer to a call that is wrong from end to end. The first fault of each message of a batch is
// named beyond it.
const maxFaults = 1000

// nextItem begins another message of a batch.
func (f *faults) nextItem() { f.inItem = 0 }

// note notes a fault of a field.
func (f *faults) note(at place, k kind, detail string) {
	if f.inItem++; f.inItem > 1 && len(f.list) >= maxFaults {
		return
	}
	pointer := at.pointer()
	f.list = append(f.list, fault{Pointer: &pointer, Code: k.code, Detail: detail})
}

// parameter notes a fault of a query parameter.
func (f *faults) parameter(name string, k kind, detail string) {
	f.list = append(f.list, fault{Parameter: name, Code: k.code, Detail: detail})
}

// problem is the answer to the faults, nil if there are none: one code for the whole, its own for each.
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

// kind is what all faults have in common, or validation_failed.
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
