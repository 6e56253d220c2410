module modelwright/infra/cluster/forwarder

go 1.26.0
