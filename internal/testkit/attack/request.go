package attack

import (
	"fmt"
	"strings"
)

// request is the text of an HTTP/1.1 request; headers are whole lines without their end.
func (v *Victim) request(method, target, body string, headers ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, target, v.host)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// head is a request that announces a body of size bytes and sends none of it.
func (v *Victim) head(method, target string, size int, headers ...string) string {
	return v.request(method, target, "", append(headers, fmt.Sprintf("Content-Length: %d", size))...)
}

// json is the header of a JSON body.
const json = "Content-Type: application/json"

func bearer(token string) string { return "Authorization: Bearer " + token }

// message is the body of one call.
func message(number, content, priority string) string {
	return fmt.Sprintf(`{"recipientPhoneNumber":%q,"messageContent":%q,"priority":%q}`, number, content, priority)
}
