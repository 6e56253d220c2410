// A device plugin for tests: offers simulated GPUs to the kubelet of one node as nvidia.com/gpu. Numbers of GPUs that stand in the file
// -unhealthy, one a line, are reported as broken; the file is read again every second.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const (
	resource      = "nvidia.com/gpu"
	socketName    = "modelwright-gpu.sock"
	lookEvery     = time.Second
	registerTime  = 5 * time.Second
	registerAgain = 300 * time.Millisecond
)

type plugin struct {
	v1beta1.UnimplementedDevicePluginServer
	node      string
	count     int
	unhealthy string
}

func (p *plugin) devices() []*v1beta1.Device {
	text, _ := os.ReadFile(p.unhealthy) // no file: all are well
	broken := strings.Fields(string(text))
	devices := make([]*v1beta1.Device, p.count)
	for i := range devices {
		health := v1beta1.Healthy
		if slices.Contains(broken, strconv.Itoa(i)) {
			health = v1beta1.Unhealthy
		}
		devices[i] = &v1beta1.Device{ID: fmt.Sprintf("GPU-%s-%d", p.node, i), Health: health}
	}
	return devices
}

func (p *plugin) GetDevicePluginOptions(context.Context, *v1beta1.Empty) (*v1beta1.DevicePluginOptions, error) {
	return &v1beta1.DevicePluginOptions{}, nil
}

func (p *plugin) ListAndWatch(_ *v1beta1.Empty, stream v1beta1.DevicePlugin_ListAndWatchServer) error {
	told := ""
	for {
		devices := p.devices()
		if now := fmt.Sprint(devices); now != told {
			if err := stream.Send(&v1beta1.ListAndWatchResponse{Devices: devices}); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// Allocate gives a container the names of its GPUs and a device file, as NVIDIA's plugin does.
func (p *plugin) Allocate(_ context.Context, request *v1beta1.AllocateRequest) (*v1beta1.AllocateResponse, error) {
	answer := &v1beta1.AllocateResponse{}
	for _, container := range request.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, &v1beta1.ContainerAllocateResponse{
			Envs:    map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
			Devices: []*v1beta1.DeviceSpec{{ContainerPath: "/dev/nvidia-simulated", HostPath: "/dev/null", Permissions: "rw"}},
		})
	}
	return answer, nil
}

func (p *plugin) register(kubelet string) error {
	connection, err := grpc.NewClient("unix://"+kubelet, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	ctx, cancel := context.WithTimeout(context.Background(), registerTime)
	defer cancel()
	_, err = v1beta1.NewRegistrationClient(connection).Register(ctx, &v1beta1.RegisterRequest{
		Version: v1beta1.Version, Endpoint: socketName, ResourceName: resource,
	})
	return err
}

// serve offers the devices until the kubelet has started anew: it forgets its plugins and makes its socket again.
func (p *plugin) serve(folder string) error {
	own, kubelet := filepath.Join(folder, socketName), filepath.Join(folder, "kubelet.sock")
	if err := os.Remove(own); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listener, err := net.Listen("unix", own)
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	v1beta1.RegisterDevicePluginServer(server, p)
	go server.Serve(listener)
	defer server.Stop()
	before, err := os.Stat(kubelet)
	if err != nil {
		return err
	}
	if err := p.register(kubelet); err != nil {
		return err
	}
	log.Printf("%d GPUs are offered", p.count)
	for {
		time.Sleep(lookEvery)
		now, err := os.Stat(kubelet)
		if err != nil || !os.SameFile(before, now) {
			return errors.New("the kubelet has started anew")
		}
		if _, err := os.Stat(own); err != nil {
			return errors.New("the kubelet has cleared its folder")
		}
	}
}

func main() {
	p := &plugin{}
	flag.IntVar(&p.count, "count", 2, "number of GPUs")
	flag.StringVar(&p.node, "node", "", "name of the node, part of the GPUs' names")
	flag.StringVar(&p.unhealthy, "unhealthy", "", "file with the numbers of broken GPUs")
	flag.Parse()
	for {
		log.Print(p.serve(v1beta1.DevicePluginPath))
		time.Sleep(registerAgain)
	}
}
