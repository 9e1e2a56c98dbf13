// A function in stock Go: net/http over CGI, as a WASI preview 1 command.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
)

func main() {
	if err := cgi.Serve(http.HandlerFunc(serve)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(answer http.ResponseWriter, request *http.Request) {
	answer.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(answer, "%s %s from %s\n", request.Method, request.URL.Path, request.RemoteAddr)
	if name := request.URL.Query().Get("name"); name != "" {
		fmt.Fprintf(answer, "Hello, %s!\n", name)
	}
	if _, err := io.Copy(answer, request.Body); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}
