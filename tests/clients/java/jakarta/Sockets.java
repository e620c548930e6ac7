import java.util.HashMap;

import jakarta.websocket.ContainerProvider;
import org.cometd.client.transport.ClientTransport;
import org.cometd.client.websocket.jakarta.WebSocketTransport;

/** The WebSocket of the platform. */
final class Sockets {
    private Sockets() {
    }

    static ClientTransport transport() {
        return new WebSocketTransport(new HashMap<>(), null, ContainerProvider.getWebSocketContainer());
    }
}
