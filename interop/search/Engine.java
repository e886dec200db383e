import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/** OpenSearch of one node, from its jars: Engine FOLDER PORT. */
public final class Engine extends Node {
  private Engine(Settings settings, Path config) {
    super(new Environment(settings, config), List.of(Netty4Plugin.class), false);
  }

  public static void main(String[] args) throws Exception {
    Settings settings = Settings.builder()
        .put("path.home", args[0])
        .put("http.port", args[1])
        .put("network.host", "127.0.0.1")
        .put("discovery.type", "single-node")
        .put("cluster.name", "search")
        .put("node.name", "search")
        .put("http.type", "netty4")
        .put("transport.type", "netty4")
        .put("cluster.routing.allocation.disk.threshold_enabled", false) // the disk of a test machine may be full
        .build();
    new Engine(settings, Path.of(args[0], "config")).start();
    new CountDownLatch(1).await();
  }
}
