// Joins two network namespaces: listens on an address in one of them and passes every connection on to an address in the other.
// An empty namespace is the one that the program was started in.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
)

const (
	dialTime   = 5 * time.Second
	pauseOnErr = 100 * time.Millisecond
)

// inside runs f on a thread of the namespace. A thread that has changed it is not used again: it ends with its goroutine, which stays locked to it.
func inside(namespace string, f func() error) error {
	if namespace == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		file, err := os.Open(namespace)
		if err != nil {
			done <- err
			return
		}
		defer file.Close()
		if _, _, number := syscall.RawSyscall(sysSetns, file.Fd(), syscall.CLONE_NEWNET, 0); number != 0 {
			done <- number
			return
		}
		done <- f()
	}()
	return <-done
}

func pass(from *net.TCPConn, dialIn, dial string) {
	defer from.Close()
	var to *net.TCPConn
	err := inside(dialIn, func() error {
		// An address in numbers: it is dialled on this very thread.
		connection, err := net.DialTimeout("tcp4", dial, dialTime)
		if err == nil {
			to = connection.(*net.TCPConn)
		}
		return err
	})
	if err != nil {
		log.Print(err)
		return
	}
	defer to.Close()
	back := make(chan struct{})
	go func() {
		defer close(back)
		io.Copy(from, to)
		from.CloseWrite()
	}()
	io.Copy(to, from)
	to.CloseWrite()
	<-back
}

func main() {
	listenIn := flag.String("listen-in", "", "file of the network namespace to listen in")
	listen := flag.String("listen", "", "address to listen on")
	dialIn := flag.String("dial-in", "", "file of the network namespace to dial from")
	dial := flag.String("dial", "", "address to pass connections on to")
	flag.Parse()
	var listener net.Listener
	err := inside(*listenIn, func() (err error) {
		listener, err = net.Listen("tcp4", *listen)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Print(err)
			time.Sleep(pauseOnErr)
			continue
		}
		go pass(connection.(*net.TCPConn), *dialIn, *dial)
	}
}
